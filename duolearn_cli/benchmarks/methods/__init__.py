"""Methods side by side: tries on validation facts, a choice by a stated criterion, runs on test facts."""
