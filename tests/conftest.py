"""What every test process needs before it imports a framework."""

import os

os.environ.setdefault("GLOG_minloglevel", "2")  # Paddle's notes on start and end, which no capture of pytest reaches
