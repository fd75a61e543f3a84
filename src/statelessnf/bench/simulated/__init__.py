"""What stands in for the world around a controller where the controller itself is measured or tested."""
