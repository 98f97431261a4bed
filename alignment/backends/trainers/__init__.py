"""The trainers: how each framework carries out the check points of training, in one process or several."""
