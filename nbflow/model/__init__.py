"""The nouns: frozen dataclasses and enums that know nothing of how a run is carried out.

Glossary: *spec* is what the user declared, *run* one execution of it, *try* one attempt of a run,
*event* a past fact about a run, *record* what the store returns.
"""
