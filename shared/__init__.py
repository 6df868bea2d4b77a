"""Everything the Lambda functions share. Imports point one way: workflows -> adapters and stores -> domain."""
