"""Labels of frames: masks, key points, boxes and optical flow, in their file formats."""
