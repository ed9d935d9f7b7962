"""Formats that labelled data sets come in, each as a stream of annotations."""
