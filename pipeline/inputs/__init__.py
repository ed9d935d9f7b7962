"""Where published frames come from: folders of images, videos, clips, dataset indexes, the synthetic cameras."""
