"""The manifests in k8s/: rendered, and held against schemas, policies, the program and the images."""
