"""The commands of `snf`, one file each; imported only when asked for, so that the command starts quickly."""
