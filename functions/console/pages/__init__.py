"""The console's pages by subject. Each asks the API and shows what it says."""
