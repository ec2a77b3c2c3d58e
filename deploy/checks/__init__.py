"""What `deploy.verify` looks at in an account, held against contracts and workflows: a module a part."""
