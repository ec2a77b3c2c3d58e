"""The checks of `deploy.verify`: an account compared with the contracts, workflows and environments."""
