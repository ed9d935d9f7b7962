"""What each task must say to be trained and measured."""
