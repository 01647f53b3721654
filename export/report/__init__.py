"""What training found, for people: lines on the terminal, a page with pictures, a model card."""
