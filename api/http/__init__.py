"""What HTTP is: middleware, errors, responses, ETags, pages, idempotency, the OpenAPI document."""
