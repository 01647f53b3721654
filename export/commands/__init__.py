"""The commands of ``talus-export``: each module has ``add(commands)`` and ``run(args)``."""
