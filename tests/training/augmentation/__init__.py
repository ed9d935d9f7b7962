"""Tests of training/augmentation."""
