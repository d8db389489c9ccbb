"""Everything that changes weights: fine-tuning, the unlearning loop, its gradients and its constraints."""
