"""The stages of the demo model's training, one file each; ``train.py`` runs them in order."""
