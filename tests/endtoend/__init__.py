"""Edu Matrix, whole, while whatever takes part is killed at random: what came of each registration and payment."""
