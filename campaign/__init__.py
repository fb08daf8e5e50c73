"""A campaign against wrong answers and lost work.

Inputs are generated, so the right answer to each is known beforehand: `inputs` knows every pixel
and every label.  `readers` reads them, whole and damaged; `flows` trains, evaluates and predicts on
them in one process; `faults` lets each write fail or end the process; `kills` ends real processes.
Nothing but the generator is trusted to say what is right.
"""
