"""Generated from the contracts. Do not edit."""
