"""What was seen around an alarm, kept on the device."""
