"""Files and command lines of the published projects, translated to the settings of `recipe.config`.

A project's file says only what differs from that project's defaults, which are shipped as configurations. What it does
by mistake is not imitated unless its configuration says so.
"""
