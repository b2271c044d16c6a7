"""Knowledge passed between similar agents: an asset for each similarity group."""
