"""What is measured of an input before anything is stylized."""
