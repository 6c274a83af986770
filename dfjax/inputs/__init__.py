"""What a batch is: codecs of pictures, conditioners of captions, and the networks over them."""
