"""``python -m scalable_binding`` is ``sbind``: what ``torchrun -m`` needs."""

import sys

from scalable_binding.cli import main

if __name__ == "__main__":
    sys.exit(main())
