"""Container images for environments that ask for a container and name no image."""

DEFAULT_CPU_IMAGE = "python:3.12-slim-bookworm"
DEFAULT_GPU_IMAGE = "pytorch/pytorch:2.5.1-cuda12.4-cudnn9-runtime"
