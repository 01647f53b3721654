"""What runs on the workstation: training, conversion, parity, the gate, bundles, the demo."""
