"""Who may do what: keys and their scopes, cookies and tokens, quotas, origins."""
