"""AdmissionReview in, AdmissionReview out: parse, handle, render; one cache around the decision."""
