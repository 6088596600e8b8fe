"""Admit: may this artifact start today?"""
