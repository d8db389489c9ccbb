"""Everything that moves weights: fine-tuning, the unlearning loop, its gradients and constraints."""
