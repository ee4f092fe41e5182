"""Pure functions on X.509 certificates: issue, check, plan renewals, describe."""
