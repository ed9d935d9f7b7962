"""Inputs of `irstream publish`: folders of images, videos, clips, dataset indexes, the synthetic cameras."""
