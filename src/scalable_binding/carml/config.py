"""Configuration of CARML: frozen dataclasses, one for each part. Torch is not imported here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import yaml

from scalable_binding.carml.method_config import MetraConfig, RNDConfig
from scalable_binding.engine.fit_config import FitConfig
from scalable_binding.errors import UserError, check_settings, require, require_least

Covariance = Literal["full", "diagonal", "spherical"]
WHITENINGS = ("reservoir", "running")

Method = Literal[
    "carml",
    "oracle",
    "ppo",
    "rnd",
    "metra",
    "pipelined",
    "contextual",
    "online-discriminator",
    "pretrained-discriminator",
]
"""Where training tasks come from. "carml": a mixture, fit anew each round. "oracle": the
environment's training tasks. "ppo": the one ``task``. "rnd": none, novelty. "metra": skills
that move far in a space where a step is at most one long. "pipelined": a
contextual policy makes them ("contextual" trains it alone), then they stay. The discriminators: a
classifier that learns with the agent, from scratch or after a mixture."""


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """A Gaussian mixture with one component for all states of a trajectory.

    Source: the authors' code ("full" in its early runs, "spherical" in later ones).
    """

    components: int = 16  # how many tasks there are to be (K).
    covariance: Covariance = "diagonal"  # "full", "diagonal" or "spherical".
    starts: int = 3  # fits from as many clusterings; the likeliest one counts.
    iterations: int = 100  # of expectation-maximization at most.
    tolerance: float = 1e-6  # it ends when the objective rises by a smaller share of itself.
    # inverse-gamma prior of variances: its mode, in units of the features' variance, and its
    # weight in trajectories of that variance.
    prior_variance: float = 0.01
    prior_trajectories: float = 1.0
    regularization: float = 0.0  # variance of the noise that states count as known with.
    weight_prior: float = 2.0  # alpha of the Dirichlet prior of weights; 1 for none.
    cluster_starts: int = 3  # of each k-means.
    cluster_iterations: int = 50

    def __post_init__(self) -> None:
        check_settings(
            self,
            counts="components starts iterations cluster_starts cluster_iterations",
            least_zero="tolerance regularization",
            positive="prior_variance prior_trajectories",
            covariance=("full", "diagonal", "spherical"),
        )
        require("weight_prior", self.weight_prior, self.weight_prior >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class DeepClusterConfig:
    """The encoder of pixels, learned by clustering and telling the clusters apart in turns.

    Source: Thesis 4.7.2; Caron et al., DeepCluster, 2018.
    """

    # "resnet10", the thesis' with 64 filters everywhere, or "small", four convolutions for one CPU
    # core.
    encoder: Literal["resnet10", "small"] = "resnet10"
    width: int = 64  # filters of each convolution.
    rounds: int = 4  # of clustering and of learning the clusters. 0: the encoder stays random.
    epochs: int = 1  # passes over the states of the trajectories in each round.
    # of a round at most, so that its time does not grow with the reservoir.
    max_batches: int | None = None
    batch_size: int = 256  # images in a gradient step.
    lr: float = 0.05  # of stochastic gradient descent.
    momentum: float = 0.9
    weight_decay: float = 1e-5
    # principal ones that are kept, whitened, for clustering; 0 clusters the features as they are.
    components: int = 256
    states: int | None = None  # of each trajectory that are looked at, evenly apart; none: all.
    shift: int = 4  # images are shifted by up to as many pixels while clusters are learned.

    def __post_init__(self) -> None:
        check_settings(
            self,
            counts="width epochs batch_size",
            least_zero="rounds components shift weight_decay",
            positive="lr",
            optional_counts="max_batches states",
            encoder=("resnet10", "small"),
        )
        require("momentum", self.momentum, 0 <= self.momentum < 1, "a number in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """A variational auto-encoder of trajectories with a continuous task z.

    Source: Thesis 4.7.3, which gives none of these numbers.
    """

    width: int = 8  # of z.
    hidden: int = 128  # units of the two layers of encoder and decoder.
    # of a reconstructed state, in units of the states' own deviation. Narrow ones pay nothing away
    # from what was seen, and agents that start near it stay there.
    deviation: float = 0.5
    epochs: int = 60  # passes over the trajectories in each E-step.
    batch_size: int = 64  # trajectories in a gradient step.
    lr: float = 2e-3  # of Adam.

    def __post_init__(self) -> None:
        check_settings(self, counts="width hidden epochs batch_size", positive="deviation lr")


@dataclass(frozen=True, kw_only=True)
class ScaffoldConfig:
    """What tasks are made of."""

    # "mixture" (16 tasks by default) or "vae" (a continuum of tasks, for states only).
    kind: Literal["mixture", "vae"] = "mixture"
    # of states as they are, or of the features of pixels.
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    # how the features of pixels are learned.
    deep_clusters: DeepClusterConfig = field(default_factory=DeepClusterConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)  # of states.
    # of random trials, on which each round's rewards are compared with place, heading and
    # validation tasks, for the log; 0 for none.
    diagnostic_states: int = 2048

    def __post_init__(self) -> None:
        check_settings(self, kind=("mixture", "vae"), least_zero="diagnostic_states")


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """How a task rewards a state."""

    weight: float = 0.99  # lambda, of log q(s|z) beside - log q(s); less of it explores more.
    window: int = 10  # states over which rewards are averaged; 1 for none.
    # "reservoir" measures each task on the trajectories that it was made from, anew after each
    # E-step; "running" measures what the agent meets, task by task, as the thesis does.
    whitening: Literal["reservoir", "running"] = "reservoir"

    def __post_init__(self) -> None:
        require("weight (lambda)", self.weight, 0 <= self.weight <= 1, "a number in [0, 1]")
        check_settings(self, counts="window", whitening=WHITENINGS)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """A classifier q(z|s) in place of a density.

    Source: Thesis 4.7.5 (temperature); the rest is not given there.
    """

    temperature: float = 3.0  # of its softmax; below 3 tasks collapse at once.
    hidden: int = 64  # units of its two layers (on features, for pixels).
    lr: float = 3e-3  # of Adam.
    # gradient steps after each update of the agent; with few the classifier lags behind.
    steps: int = 40
    first_steps: int = 300  # gradient steps on the mixture's labels, for the pre-trained one.
    batch_size: int = 512  # states in a gradient step.
    # of what it pays, in place of ``reward.whitening``. "running" makes noise of a classifier that
    # is sure everywhere, and the agent acts at random.
    whitening: Literal["reservoir", "running"] = "reservoir"

    def __post_init__(self) -> None:
        check_settings(
            self,
            "discriminator.",
            counts="hidden steps first_steps batch_size",
            positive="temperature lr",
            whitening=WHITENINGS,
        )


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """Weights that a run begins with.

    Source: Thesis 4.5.4, Fig. 4.9.
    """

    weights: str | None = None  # a run folder, or a file of weights; none: drawn from the seed.
    # "policy", all of it, or "encoder", what turns observations into features.
    part: Literal["policy", "encoder"] = "policy"

    def __post_init__(self) -> None:
        check_settings(self, "start.", part=("policy", "encoder"))


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Proximal policy optimization over whole trials (4.7.2)."""

    epochs: int = 10  # passes over the trials of an update.
    minibatches: int = 1  # gradient steps in each pass; trials are never cut.
    clip: float = 0.2  # how far a probability ratio counts (eps).
    value_weight: float = 0.1  # of half the squared error of values.
    # how far a value may move in an update; None: as far as it likes.
    value_clip: float | None = None
    entropy_weight: float = 0.01  # of the bonus for undecided policies.
    discount: float = 0.99  # of later rewards (gamma).
    gae_lambda: float = 0.95  # lambda of the advantage estimates.
    # of the rewards behind advantages and values; the agent sees them unscaled.
    reward_scale: float = 1.0
    normalize: bool = True  # whiten the advantages of an update.

    def __post_init__(self) -> None:
        check_settings(
            self,
            "ppo.",
            counts="epochs minibatches",
            positive="clip reward_scale",
            least_zero="value_weight entropy_weight",
            unit="discount gae_lambda",
        )
        limit = self.value_clip
        require("ppo.value_clip", limit, limit is None or limit > 0, "above 0, or none")


@dataclass(frozen=True, kw_only=True)
class EnvironmentConfig:
    """Where the agent lives."""

    # of the registry (maze, room, vizdoom-fixed, ...), or the id of a Gymnasium environment.
    name: str = "maze"
    # NAME=VALUE each, such as "layout=rooms"; values are read as YAML.
    options: tuple[str, ...] = ()
    # FILE.py of test tasks of your own, in place of the environment's (see task_rewards).
    tasks: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        self.arguments()

    def with_options(self, **options: Any) -> EnvironmentConfig:
        """The same environment with other options; None leaves one as it is."""
        changed = {name: value for name, value in options.items() if value is not None}
        kept = [o for o in self.options if o.partition("=")[0].strip() not in changed]
        added = [f"{name}={value}" for name, value in changed.items()]
        return replace(self, options=(*kept, *added))

    def arguments(self) -> dict[str, Any]:
        """The options by name.

        Raises:
            UserError: an option is no NAME=VALUE.
        """
        found = {}
        for option in self.options:
            name, equals, value = option.partition("=")
            try:
                found[name.strip()] = yaml.safe_load(value)
            except yaml.YAMLError:
                equals = ""
            if not equals:
                raise UserError("environment.options", expected="NAME=VALUE", got=repr(option))
        return found


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The agent's network (4.7.2)."""

    channels: tuple[int, ...] = (16, 16)  # of the convolutions on pixels.
    kernels: tuple[int, ...] = (5, 5)
    strides: tuple[int, ...] = (1, 2)
    # of the layers between convolutions, or states, and the recurrent network.
    widths: tuple[int, ...] = (256,)
    recurrence: Literal["gru", "lstm"] = "gru"  # "gru" or "lstm".
    hidden: int = 512  # width of the recurrent network.
    head: int = 256  # hidden units of the heads of policy and value.

    def __post_init__(self) -> None:
        for name in ("channels", "kernels", "strides", "widths"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            require(f"model.{name}", values, min(values, default=1) >= 1, "numbers of at least 1")
        count = len(self.channels)
        same = count >= 1 and len(self.kernels) == len(self.strides) == count
        require("model.channels", self.channels, same, "as many as kernels and strides")
        check_settings(self, "model.", counts="hidden head")


@dataclass(frozen=True, kw_only=True)
class CurriculumConfig:
    """How tasks and agent take turns (4.7.2)."""

    period: int = 500  # updates of the agent between two E-steps.
    episodes: int = 4  # in a trial.
    reservoir: int = 1000  # trajectories that the tasks are made of.
    # how many of a trial's last episodes go into the reservoir: those of an agent that has adapted.
    kept_episodes: int = 1
    # of the fresh policy, before the first E-step; all of their episodes go into the reservoir.
    first_trials: int = 250
    # probability that a step of these repeats the action before it (0 in the thesis): plain random
    # walks stay near their start.
    first_sticky: float = 0.0
    # after each E-step the reservoir counts its content as all it was ever offered. A round then
    # weighs more than those before it; the thesis' reservoir weighs all alike.
    recent: bool = False

    def __post_init__(self) -> None:
        counts = "period episodes reservoir kept_episodes first_trials"
        check_settings(self, "curriculum.", counts=counts, unit="first_sticky")
        kept = self.kept_episodes
        expected = f"at most the {self.episodes} episodes of a trial"
        require("curriculum.kept_episodes", kept, kept <= self.episodes, expected)


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """What selects the iterate that is kept (4.7.2)."""

    every: int = 25  # updates between validations; 0 keeps the last iterate.
    num_tasks: int = 10  # of the environment's validation split.
    # "success" in the last episode, or the mean "return" after the first, which varies less.
    criterion: Literal["success", "return"] = "success"

    def __post_init__(self) -> None:
        require_least("validation.every", self.every, 0)
        require_least("validation.num_tasks", self.num_tasks, 1)
        check_settings(self, "validation.", criterion=("success", "return"))


@dataclass(frozen=True, kw_only=True)
class CARMLConfig:
    """Everything that defines a training run.

    ``fit.steps`` counts updates, each on the trials of ``fit.batch_size`` tasks.
    """

    method: Method = "carml"  # where training tasks come from.
    # what the agent is to do, with method "ppo"; as ``sbind carml adapt`` takes it.
    task: str | None = None
    start: StartConfig = field(default_factory=StartConfig)  # weights to begin with.
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    scaffold: ScaffoldConfig = field(default_factory=ScaffoldConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    rnd: RNDConfig = field(default_factory=RNDConfig)
    metra: MetraConfig = field(default_factory=MetraConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        if self.fit.fsdp:
            raise UserError("fit.fsdp", expected="false: agents act on each rank", got="true")
        if (self.method == "ppo") != (self.task is not None):
            expected = "a task with method ppo, and none with another"
            raise UserError("task", expected=expected, got=f"{self.task} with {self.method}")

    @property
    def discriminates(self) -> bool:
        """Whether a classifier stands in place of a density."""
        return self.method.endswith("discriminator")

    @property
    def task_reward(self) -> RewardConfig:
        """Settings of the tasks' rewards: ``reward``, whitened as the method has it."""
        if self.discriminates:
            return replace(self.reward, whitening=self.discriminator.whitening)
        return self.reward
