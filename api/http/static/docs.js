"use strict";

// The token stays in the page's memory (persistAuthorization is off), and no document is sent to a validator.
const page = document.getElementById("docs");
SwaggerUIBundle({ url: page.dataset.document, domNode: page, deepLinking: true, validatorUrl: null });
