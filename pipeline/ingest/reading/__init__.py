"""A partner's file of any format -> chunks of text columns."""
