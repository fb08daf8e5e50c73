"""Workflows: train, evaluate and the rest, callable from Python, command line and tests alike.

Each verb is a function in the module of its name, such as `pixelbayes.workflows.train.train`.
"""

from pixelbayes.workflows.runs import DataConfig, NetworkConfig, Run, RunConfig, RunError

__all__ = ["DataConfig", "NetworkConfig", "Run", "RunConfig", "RunError"]
