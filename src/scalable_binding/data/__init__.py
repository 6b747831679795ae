"""Videos, images, masks, keypoints and the data sets made of them."""
