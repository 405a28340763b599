"""The state folder of a device: provisioning, slots, what a technician does."""
