"""What tests/http/test_contract.py gives to Schemathesis."""
