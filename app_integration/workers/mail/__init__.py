"""Renders mails from templates and sends them by SMTP."""
