"""The local engine: the real CDK app, deployed by the real CDK CLI to an AWS engine on this machine."""
