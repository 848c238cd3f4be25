"""From MQTT to files, without a bundle: how a site without any picture begins."""
