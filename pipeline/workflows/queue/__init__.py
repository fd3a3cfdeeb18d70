"""Many inputs in many styles: every input in every style is a job, which is a render of its own."""
