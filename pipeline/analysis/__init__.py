"""What is measured before anything is stylized: cuts, and the flicker of exposure."""
