"""The pure heart of Checkback: no AWS, no HTTP, no environment, no clock of its own."""
