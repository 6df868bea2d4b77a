"""Storage: DynamoDB only, one small repository per aggregate; keys live here and nowhere else."""
