"""What tests/test_contract.py gives to Schemathesis."""
